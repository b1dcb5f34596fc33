"""What Dagster and the pipeline keep of the past, and the job that prunes it; the bridge prunes its own."""
