//! Allocations of one job are counted: more of them than recorded, by more than 5 %, is a change that somebody has to want.
//!
//! They are counted in one thread, and over many jobs, so that what is made once does not show.
#![allow(clippy::unwrap_used)]

mod counted;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[tokio::test(flavor = "current_thread")]
async fn a_job_allocates_no_more_than_recorded() {
    counted::compare().await;
}
