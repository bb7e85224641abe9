//! Tests of the engine, driven as the probes drive it.
