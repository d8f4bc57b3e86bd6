"""The production overlays, as far as a machine without docker, cluster and cloud can check them."""
