"""What is a workflow? Plain data: nodes, edges, policies, records."""
