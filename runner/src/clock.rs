//! The only place that reads time: monotonic for intervals, one wall-clock anchor per process.
