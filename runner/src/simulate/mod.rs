//! Simulated engines that speak the real ones' wire formats.
