//! A leased instance: its actor, health, claims, socket, catalog.

pub(super) mod actor;
pub(super) mod admission;
pub(super) mod catalog_refresh;
pub(super) mod catalog_state;
pub(super) mod claimer;
pub(super) mod health;
pub(super) mod health_check;
pub(super) mod orphan_list;
pub(super) mod orphan_prompts;
pub(super) mod previews;
pub(super) mod quarantine;
pub(super) mod reattach;
pub(super) mod registry;
pub(super) mod runs;
pub(super) mod socket_events;
pub(super) mod state;
