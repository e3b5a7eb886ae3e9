//! CPU time of an idle dispatcher.

use super::{gap::put_config, ours, program::Program, redis::TestRedis};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

const INSTANCES: usize = 100;
const TIME: Duration = Duration::from_secs(10);

pub async fn run() {
    println!("idle: a dispatcher with {INSTANCES} idle instances");
    let (redis, folder) = (TestRedis::start(), tempfile::tempdir().unwrap());
    let sims: Vec<Program> = (0..INSTANCES).map(|_| Program::start("sim", &[])).collect();
    let addresses: Vec<SocketAddr> = sims.iter().map(|sim| sim.address).collect();
    let queue = ours::queue(&redis.url()).await;
    put_config(&queue, &addresses).await;
    let dispatcher = Program::background("dispatcher", &ours::environment(&redis, folder.path()));
    let ids: Vec<_> = queue.config().await.unwrap().targets().into_iter().map(|target| target.id).collect();
    let give_up = Instant::now() + Duration::from_secs(60);
    loop {
        let statuses = queue.instances(&ids).await.unwrap();
        let alive = statuses.iter().flatten().filter(|status| status.leased && status.report.alive).count();
        if alive == INSTANCES {
            break;
        }
        assert!(Instant::now() < give_up, "only {alive} instances are alive");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (before, begun) = (dispatcher.cpu(), Instant::now());
    tokio::time::sleep(TIME).await;
    let percent = (dispatcher.cpu() - before).as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0;
    println!("  {percent:.2} % of one core (wanted: below 2)");
}
