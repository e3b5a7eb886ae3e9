//! Leases: which instances this process drives, and for how long.

pub(super) mod fair_share;
pub(super) mod lease_clock;
pub(super) mod lease_loop;
pub(super) mod lease_renewal;
pub(super) mod renewal_batcher;
pub(super) mod takeover_grace;
