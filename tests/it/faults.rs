//! The fault suite: real processes are killed, paused and restarted, links are cut, instances die. Then a referee
//! checks that nothing was lost and nothing ran twice, by what the stand-ins executed, by every API process, by
//! observers of the whole scenario and by Redis itself (shared page safety.md §4, queue.md §4).
//!
//! `cluster` has the processes and their links, `load` the clients, `observers` the observers, `executions` what the
//! stand-ins did, `referee` the verdict, `traffic` a steady load and its figures; every other file holds scenarios. `soak`
//! mixes all faults at random, `tables` measures the outages of replicated Redis.

mod apis;
mod backlog;
mod cancels;
mod cluster;
mod dispatchers;
mod executions;
mod fair_shares;
mod full_memory;
mod instances;
mod load;
mod managed_process;
mod network;
mod observers;
mod random_faults;
mod redis_cluster;
mod redis_faults;
mod redis_outages;
mod redis_servers;
mod referee;
mod sentinel;
mod server_versions;
mod soak;
mod tables;
mod takeover_times;
mod traffic;
