"""What ``inspect`` and ``audit`` share: findings, their codes, how places are named, formats of reports."""
