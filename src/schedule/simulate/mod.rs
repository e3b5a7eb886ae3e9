//! Simulation of schedules over a trace.
