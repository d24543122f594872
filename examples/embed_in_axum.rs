//! Jobs in a web service: a handler submits, a worker of the same process runs, a route tells how it goes, and both stop together.
//!
//! `curl -d cat.jpg localhost:3000/jobs`, then `curl localhost:3000` with the path that it answers.
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use jobbers::client::JobView;
use jobbers::{Client, Error, ErrorKind, RunId, Task, Worker};
use tokio::signal::unix::{SignalKind, signal};

const RESIZE: Task<String, String> = Task::new("image.resize").queue("images");

async fn resize(image: String) -> jobbers::Result<String> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(format!("small/{image}"))
}

async fn submit(State(client): State<Client>, image: String) -> Result<(StatusCode, String), (StatusCode, String)> {
    let job = client.submit(RESIZE, &image).await.map_err(failed)?;
    Ok((StatusCode::ACCEPTED, format!("/jobs/{}\n", job.id())))
}

async fn status(State(client): State<Client>, Path(id): Path<String>) -> Result<Json<JobView>, (StatusCode, String)> {
    let id: RunId = id.parse().map_err(failed)?;
    client.handle::<String>(id).record().await.map(Json).map_err(failed)
}

fn failed(error: Error) -> (StatusCode, String) {
    let status = match error.kind() {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, format!("{error}\n"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let backend = jobbers::connect("memory:").await?;
    let worker = Worker::queues(["images"]).task(RESIZE, resize).start(&backend).await?;
    let routes = Router::new().route("/jobs", post(submit)).route("/jobs/{id}", get(status)).with_state(Client::new(&backend));

    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:3000".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stop = async move { tokio::select!(_ = interrupt.recv() => {}, _ = terminate.recv() => {}) };
    // First nobody submits any more, then what runs ends, and what does not within the worker's grace is handed back.
    axum::serve(listener, routes).with_graceful_shutdown(stop).await?;
    let report = worker.stop().await?;
    println!("stopped: {} finished, {} handed back", report.finished, report.handed_back);
    Ok(())
}
