//! Which submits say the same, when their bytes were written by different codecs.
#![cfg(feature = "msgpack")]

use std::collections::HashMap;

use super::*;
use crate::task::Codec;

const COUNTS: Task<HashMap<String, u32>> = Task::new("counts");
const BYTE: Task<u8> = Task::new("byte");

fn counts() -> HashMap<String, u32> {
    ('a'..='z').map(|name| (name.to_string(), 1)).collect()
}

#[tokio::test]
async fn the_same_value_is_the_same_job_in_another_order_and_by_another_codec() {
    for (first, second) in [(Codec::Msgpack, Codec::Msgpack), (Codec::Json, Codec::Msgpack), (Codec::Msgpack, Codec::Json)] {
        let world = World::new();
        let submit = |codec| world.client.submit(COUNTS.codec(codec), &counts()).id(RunId::from_u128(7));
        let job = submit(first).await.unwrap();
        assert_eq!(submit(second).await.unwrap().id(), job.id(), "{first:?}, {second:?}");
        let other = world.client.submit(COUNTS.codec(second), &HashMap::new()).id(RunId::from_u128(7));
        assert_eq!(other.await.unwrap_err().kind(), ErrorKind::Conflict);
    }
}

#[tokio::test]
async fn the_same_bytes_of_another_codec_are_another_job() {
    let world = World::new();
    // Byte 0x31 is 1 in JSON and 49 in MessagePack.
    let json = world.client.submit(BYTE, &1).id(RunId::from_u128(7)).await.unwrap();
    let msgpack = world.client.submit(BYTE.codec(Codec::Msgpack), &49);
    assert_eq!(world.job(json.id()).await.spec.parameters.as_ref(), [0x31]);
    let error = msgpack.id(RunId::from_u128(7)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("has other parameters"), "{error}");
}

#[cfg(feature = "bincode")]
#[tokio::test]
async fn bincode_is_compared_byte_by_byte() {
    let world = World::new();
    let submit = |value: u8| world.client.submit(BYTE.codec(Codec::Bincode), &value).id(RunId::from_u128(7));
    let job = submit(1).await.unwrap();
    assert_eq!(submit(1).await.unwrap().id(), job.id());
    assert_eq!(submit(2).await.unwrap_err().kind(), ErrorKind::Conflict);
    let error = world.client.submit(BYTE, &1).id(RunId::from_u128(7)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_map_whose_join_is_written_by_another_codec_is_another_map() {
    let world = World::new();
    let submit = |codec| world.client.map_join(BYTE, [1], BYTE.codec(codec), &49).id(RunId::from_u128(7));
    submit(Codec::Msgpack).await.unwrap();
    submit(Codec::Msgpack).await.unwrap();
    let error = world.client.map_join(BYTE, [1], BYTE, &1).id(RunId::from_u128(7)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}
