"""The report: findings, their codes, the sentence at its head, and its formats."""
