//! `shuzhiren`: a REST + WebSocket service in front of a fleet of ComfyUI instances, on Redis.
//!
//! What runs: **api** accepts and enqueues; **dispatcher** leases instances, claims tasks and drives ComfyUI; **ws** forwards
//! what Redis publishes; **up** is all of them in one process on an owned child Redis; **sim** is a stand-in ComfyUI;
//! **doctor** looks at all of it and changes nothing. The `dashboard` is the page that api serves at `/`, `cli` the commands that
//! talk to a running system by its public API only.
//!
//! Layers: `bin` → `api | ws | dashboard | dispatcher | doctor | sim | embedded | cli` (never one another) → `queue, comfy, store,
//! auth, graph, fetch, media` → `task, event, fleet`. For all: `settings, metrics, process, trace`.
//!
//! Invariants: (1) api never talks to ComfyUI, and to the web through `fetch` only; ws writes nothing. (2) A task's state changes
//! only in `lua/`. (3) Every write of an attempt carries (instance, token, attempt); stale ones are refused in Lua. (4) Event and
//! state change are one script. (5) Terminal is terminal. (6) Wire forms never leave their room. (7) Every queue, channel, retry,
//! body and wait has a named limit. (8) Numbers of a workflow are never re-encoded.

pub mod api;
pub mod auth;
pub mod cli;
pub mod comfy;
pub mod dashboard;
pub mod dispatcher;
pub mod doctor;
pub mod embedded;
pub mod event;
pub mod fetch;
pub mod fleet;
pub mod graph;
pub mod media;
pub mod metrics;
pub mod process;
pub mod queue;
pub mod settings;
pub mod sim;
pub mod store;
pub mod task;
pub mod trace;
pub mod ws;
