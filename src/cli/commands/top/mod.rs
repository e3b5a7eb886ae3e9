//! `shuzhiren top`: the live fleet, redrawn as events arrive.

pub(super) mod top_view;

use crate::cli::{
    client::{
        connection::Common,
        error::Fault,
        rest::Api,
        websocket::{Heard, Live, Lost},
    },
    term::{format::text, output, screen::Screen},
};
use clap::Args;
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use top_view::Scene;

/// Minimum time between two drawings.
const DRAW_EVERY: Duration = Duration::from_millis(250);
/// Interval of reads by REST: no event reports free memory.
const READ_EVERY: Duration = Duration::from_secs(5);
/// Between two tries to connect.
const AGAIN: Duration = Duration::from_secs(1);
/// Size assumed for a terminal that does not report one.
const SIZE: (usize, usize) = (110, 40);

/// Settings of `top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Print the state once and exit; the default if standard output is not a terminal
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    common: Common,
}

/// Shows the fleet until `q` or Ctrl-C. As JSON, prints one line `{"overview","instances","running"}`.
pub(crate) async fn top(args: TopArgs) -> Result<(), Fault> {
    let api = args.common.connection.logged_in()?;
    let mut scene = Scene::new(api.base());
    read(&api, &mut scene).await?;
    if args.common.json {
        return output::say(&scene.json().to_string());
    }
    if args.once || !output::is_screen() {
        // Without a terminal nothing is cut off: programs search for whole words.
        let columns = output::columns().unwrap_or(usize::MAX);
        return top_view::draw(&scene, columns, usize::MAX, output::has_colours())
            .iter()
            .try_for_each(|line| output::say(line));
    }
    let mut screen = Screen::open()?;
    let shown = tokio::select! {
        shown = show(&api, &mut scene, &mut screen) => shown,
        () = crate::cli::term::screen::told_to_stop() => Ok(()),
    };
    drop(screen);
    shown
}

async fn show(api: &Api, scene: &mut Scene, screen: &mut Screen) -> Result<(), Fault> {
    loop {
        match hear(api, scene, screen).await {
            Ok(()) => return Ok(()),
            Err(Lost::Final(fault)) => return Err(fault),
            Err(Lost::Socket(why)) => scene.trouble = Some(format!("no live news ({why}): asking again")),
        }
        if !draw(scene, screen)? || screen.is_told_to_stop() {
            return Ok(());
        }
        sleep(AGAIN).await;
        read(api, scene).await?;
    }
}

/// Until somebody has enough (`Ok`) or the connection is lost.
async fn hear(api: &Api, scene: &mut Scene, screen: &mut Screen) -> Result<(), Lost> {
    let mut live = Live::connect(api).await?;
    scene.trouble = None;
    let mut ticks = interval(DRAW_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut read_at = Instant::now() + READ_EVERY;
    loop {
        tokio::select! {
            heard = live.next() => take(scene, &heard?),
            () = screen.stop_key() => return Ok(()),
            _ = ticks.tick() => {
                if Instant::now() >= read_at {
                    read(api, scene).await.map_err(Lost::Final)?;
                    read_at = Instant::now() + READ_EVERY;
                }
                if !draw(scene, screen).map_err(Lost::Final)? {
                    return Ok(());
                }
            }
        }
    }
}

/// Draws the view. Returns false if the reader of standard output has gone.
fn draw(scene: &Scene, screen: &mut Screen) -> Result<bool, Fault> {
    let (columns, lines) = output::size().unwrap_or(SIZE);
    match screen.draw(&top_view::draw(scene, columns, lines, output::has_colours())) {
        Ok(()) => Ok(true),
        Err(Fault::ReaderGone) => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// Reads everything by REST.
async fn read(api: &Api, scene: &mut Scene) -> Result<(), Fault> {
    scene.overview = api.get("/api/monitor/overview").await?.value;
    scene.instances = match api.get("/api/instances").await?.value {
        Value::Array(instances) => instances,
        _ => Vec::new(),
    };
    let running = api.get("/api/tasks?status=running&limit=200").await?;
    scene.running = running.value["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|task| (text(task, "id").to_owned(), task.clone()))
        .collect();
    Ok(())
}

/// Applies an event to the view.
fn take(scene: &mut Scene, heard: &Heard) {
    let id = text(&heard.data, "taskId").to_owned();
    match heard.kind.as_str() {
        "global_status" => scene.overview = heard.data.clone(),
        "instance_status" => {
            let known = scene.instances.iter_mut().find(|one| one["id"] == heard.data["instanceId"]);
            let (Some(Value::Object(known)), Value::Object(news)) = (known, &heard.data) else { return };
            for (name, value) in news.iter().filter(|(name, _)| *name != "instanceId") {
                known.insert(name.clone(), value.clone());
            }
        }
        "task_progress" if heard.data["status"] == "running" => {
            scene.running.insert(id, heard.data.clone());
        }
        "task_progress" | "task_completed" | "task_failed" => {
            scene.running.remove(&id);
        }
        _ => {}
    }
}
