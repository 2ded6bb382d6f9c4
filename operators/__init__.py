"""One operator a stage: takes what comes before from its ports, calls the stage's function, hands on what it gives."""
