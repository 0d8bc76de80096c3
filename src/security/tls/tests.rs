use std::path::Path;

use super::*;

/// A certificate of its own authority and its key, PEM.
fn pair(name: &str) -> (String, String) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let asked = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("a name");
    (asked.self_signed(&key).expect("signed").pem(), key.serialize_pem())
}

fn settings(directory: &Path) -> TlsSettings {
    TlsSettings {
        certificate_file: directory.join("tls.crt"),
        key_file: directory.join("tls.key"),
        client_ca_file: None,
    }
}

fn write(settings: &TlsSettings, (certificate, key): &(String, String)) {
    std::fs::write(&settings.certificate_file, certificate).expect("written");
    std::fs::write(&settings.key_file, key).expect("written");
}

/// Looks until changed files are taken or refused.
async fn look(rotation: &mut Rotation) {
    for _ in 0..2 {
        rotation.files.step(|contents| rotation.tls.take(&rotation.settings, contents)).await;
    }
}

#[tokio::test]
async fn a_broken_new_pair_leaves_the_old_one_and_is_counted_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = settings(directory.path());
    let (first, second) = (pair("a.example"), pair("b.example"));
    write(&settings, &first);
    let (tls, mut rotation) = ServerTls::load(settings.clone()).await.expect("usable");
    let reloads = rotation.reloads();
    let counts = || reloads.counts().map(|(_, count)| count);
    let at_first = tls.current();
    assert_eq!(counts(), [0, 0]);
    for broken in [
        (second.0.clone(), first.1.clone()),
        ("no PEM".to_owned(), second.1.clone()),
        (second.0.clone(), second.0.clone()),
        (second.0[..second.0.len() / 2].to_owned(), second.1.clone()),
    ] {
        let [_, refused] = counts();
        write(&settings, &broken);
        look(&mut rotation).await;
        look(&mut rotation).await;
        assert_eq!(counts(), [0, refused + 1], "{broken:?}");
        assert!(Arc::ptr_eq(&tls.current(), &at_first));
    }
    write(&settings, &second);
    look(&mut rotation).await;
    assert_eq!(counts(), [1, 4]);
    assert!(!Arc::ptr_eq(&tls.current(), &at_first));
}

#[tokio::test]
async fn what_cannot_be_used_is_told_with_its_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut settings = settings(directory.path());
    let good = pair("a.example");
    let told = async |settings: &TlsSettings| {
        ServerTls::load(settings.clone()).await.expect_err("must be refused").to_string()
    };
    assert!(told(&settings).await.contains("tls.crt: cannot be read"));
    write(&settings, &(good.0.clone(), pair("b.example").1));
    let text = told(&settings).await;
    assert!(text.contains("tls.crt and ") && text.contains("tls.key: cannot be used together"), "{text}");
    write(&settings, &good);
    settings.client_ca_file = Some(directory.path().join("ca.crt"));
    std::fs::write(directory.path().join("ca.crt"), &good.1).expect("written");
    assert!(told(&settings).await.contains("ca.crt: holds no authority"));
    std::fs::write(directory.path().join("ca.crt"), &good.0).expect("written");
    let (tls, _) = ServerTls::load(settings).await.expect("usable");
    assert_eq!(tls.status().client_ca_end, Some(tls.status().certificate_end));
}
