#[jobbers::task(name = "mail.send")]
async fn send(to: String) {
    drop(to);
}

fn main() {}
