#[jobbers::task(name = "mail.send")]
async fn send(to: &str) -> jobbers::Result<()> {
    let _ = to;
    Ok(())
}

fn main() {}
