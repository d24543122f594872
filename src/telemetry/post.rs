//! Posts what is exported. It blocks, which is right where it is called: on the exporters' own threads.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use jobbers_core::seldom::Seldom;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use ureq::Agent;

/// How long one export may take: less than exports are apart, and what a process waits at its end if the endpoint hangs.
const EXPORT_WAIT_MAX: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read: it says what was refused, if anything.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// A client of one endpoint.
#[derive(Debug, Clone)]
pub(super) struct Post(Agent);

impl Post {
    pub(super) fn new() -> Post {
        let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(EXPORT_WAIT_MAX)).max_redirects(0);
        Post(config.build().into())
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let mut response = self.0.run(Request::from_parts(parts, &body[..]))?;
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
        Ok(response.map(|_| Bytes::from(body)))
    }
}

#[async_trait]
impl HttpClient for Post {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        static TROUBLE: Seldom = Seldom::new();
        let uri = request.uri().clone();
        let sent = self.send(request);
        let trouble = match &sent {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("it answered {}", response.status())),
            Err(error) => Some(error.to_string()),
        };
        if let Some(trouble) = trouble
            && let Some(left_out) = TROUBLE.pass(Instant::now())
        {
            tracing::warn!(%uri, left_out, "telemetry was not exported, and is lost: {trouble}; the worker goes on. Does a collector listen there?");
        }
        sent
    }
}
