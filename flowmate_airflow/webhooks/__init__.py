"""Webhooks: who may send, what is kept, and what becomes of it."""
