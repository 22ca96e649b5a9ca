"""What several tests share: fake parts, clients and processes."""
