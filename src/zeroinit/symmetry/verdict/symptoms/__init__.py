"""What shows in a shadow training beside missing gradients."""
