"""One command a module: load_demo, load_cdnow, check_main_job."""
