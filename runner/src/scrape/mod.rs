//! The engines' own metrics: direct scrape and Prometheus.
