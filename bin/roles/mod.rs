//! Roles of the program, each composed from the rooms of the library.

pub(crate) mod api;
pub(crate) mod dispatcher;
pub(crate) mod doctor;
pub(crate) mod initial_config;
pub(crate) mod shared;
pub(crate) mod up;
pub(crate) mod ws;
