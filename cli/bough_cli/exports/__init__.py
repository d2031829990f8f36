"""What is exported in the formats of others: hyperopt's documents, MLflow's folders. The coordinator writes its own."""
