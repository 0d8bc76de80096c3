//! Reads the expiry and the names of certificates.

use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// The expiry of a certificate (DER), in Unix seconds; `None` when it cannot be read.
pub(super) fn end_of(der: &[u8]) -> Option<u64> {
    let certificate = Certificate::from_der(der).ok()?;
    Some(certificate.tbs_certificate().validity().not_after.to_unix_duration().as_secs())
}

/// The DNS names and URIs of a certificate (DER). The common name is ignored, as in all current TLS software.
pub(super) fn names_in(der: &[u8]) -> Vec<String> {
    let Ok(certificate) = Certificate::from_der(der) else { return Vec::new() };
    let names = certificate.tbs_certificate().get_extension::<SubjectAltName>();
    let Ok(Some((_, SubjectAltName(names)))) = names else { return Vec::new() };
    let text = |name| match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str().to_owned()),
        _ => None,
    };
    names.into_iter().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_end_are_read() {
        let names = vec!["Trading.example".to_owned()];
        let mut asked = rcgen::CertificateParams::new(names).expect("names");
        asked.subject_alt_names.push(rcgen::SanType::URI("spiffe://cluster/trading".try_into().expect("ASCII")));
        asked.not_after = rcgen::date_time_ymd(2031, 2, 3);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = asked.self_signed(&key).expect("signed");
        assert_eq!(names_in(certificate.der()), ["trading.example", "spiffe://cluster/trading"]);
        assert_eq!(end_of(certificate.der()), Some(1_927_843_200));
        assert_eq!((end_of(b"no certificate"), names_in(b"no certificate").len()), (None, 0));
    }
}
