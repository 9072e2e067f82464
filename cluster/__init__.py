"""The roof: config, placement, controller, metrics hub, report, command line."""
