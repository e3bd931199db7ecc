"""What FlowMate tells other applications by webhooks: what becomes of runs, links and discoveries."""
