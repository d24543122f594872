#[jobbers::task(name = "mail.send")]
async fn send(ctx: jobbers::Ctx) -> jobbers::Result<()> {
    drop(ctx);
    Ok(())
}

fn main() {}
