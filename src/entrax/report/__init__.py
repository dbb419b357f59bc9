"""What a person looks at: the learning curve, the film, the report; all from what a run directory holds."""
