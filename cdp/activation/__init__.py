"""What other systems keep in step with: audiences, their members, and who came and went."""
