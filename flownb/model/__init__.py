"""What is a workflow? Nodes, edges, policies, the builder."""
