"""Problems given whole, with constructors and a small library."""
