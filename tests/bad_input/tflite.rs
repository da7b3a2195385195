//! `.tflite` files that are none, or damaged.

use super::*;

fn inspected(bytes: &[u8], what: &str) -> bool {
    let result = catch_unwind(|| litesmith::tflite::inspect(bytes.to_vec().into()).map(|found| found.to_string()));
    result.unwrap_or_else(|_| panic!("{what}: panicked")).is_ok()
}

#[test]
fn that_are_none() {
    let desk = Desk::new(digits());
    let folder = desk.folder.path().display().to_string();
    let whole = converted(&digits(), "digits").unwrap().bytes().unwrap();
    desk.write("cut.tflite", &whole[..whole.len() / 2]);
    for name in ["model.onnx", "model.tflite", "cut.tflite", "none.tflite", ""] {
        let ran = litesmith(["inspect", &format!("{folder}/{name}")]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{name}");
        says(&is_clear(&ran.stderr), &[name]);
    }
}

#[test]
fn damaged() {
    let whole = converted(&digits(), "digits").unwrap().bytes().unwrap();
    assert!(inspected(&whole, "the whole"));
    for len in (0..whole.len()).step_by(whole.len() / 50) {
        assert!(!inspected(&whole[..len], &format!("the first {len} bytes")));
    }
    let mut random = Random::new(3);
    for round in 0..200 {
        let mut bytes = whole.to_vec();
        let at = random.below(bytes.len());
        bytes[at] ^= 1 << random.below(8);
        inspected(&bytes, &format!("bit flipped in byte {at}"));
        if round % 20 == 0 {
            let desk = Desk::new(&bytes);
            let ran = litesmith(["inspect".as_ref(), desk.path("model.onnx").as_os_str()]);
            assert!(matches!(ran.code, Some(0 | 1)), "byte {at}: {:?}", ran.code);
        }
    }
}
