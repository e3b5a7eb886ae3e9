//! The Redis connection: supervised connections, scripts, keys, durability, server checks.

pub(super) mod address;
pub(super) mod cluster_check;
pub(super) mod connect;
pub(super) mod connection;
pub(super) mod credentials;
pub(super) mod denied;
pub(super) mod diagnose;
pub(super) mod durability;
pub(super) mod installation;
pub(super) mod keys;
pub(super) mod link;
pub(super) mod memory;
pub(super) mod recheck;
pub(super) mod script_call;
pub(super) mod scripts;
pub(super) mod server_check;
mod supervisor;
