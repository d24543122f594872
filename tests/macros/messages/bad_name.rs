#[jobbers::task(name = "Mail.Send")]
async fn send(to: String) -> jobbers::Result<()> {
    drop(to);
    Ok(())
}

fn main() {}
