"""What jwtguard costs: `scripts/bench` prints one table from one run. See docs/performance.md."""
