//! `traceparent` of a request (W3C Trace Context §3.2): the span of the client.

use super::{exporter_slot::ExporterSlot, record::RemoteSpan};
use axum::http::HeaderMap;

impl RemoteSpan {
    /// Reads the header if traces are on. An invalid header is ignored, as the standard requires.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        ExporterSlot::get()?;
        let mut values = headers.get_all("traceparent").iter();
        let (value, None) = (values.next()?, values.next()) else { return None };
        Self::parse(value.to_str().ok()?)
    }

    /// Parses `00-<32 hex>-<16 hex>-<2 hex>`; later versions may append more.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut part = |len: usize| parts.next().filter(|part| part.len() == len && part.bytes().all(is_hex));
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let caller = Self {
            trace: u128::from_str_radix(trace, 16).ok()?,
            span: u64::from_str_radix(span, 16).ok()?,
            is_sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
        };
        (caller.trace != 0 && caller.span != 0).then_some(caller)
    }
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::RemoteSpan;

    #[test]
    fn a_traceparent_is_read_or_ignored() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let read = RemoteSpan {
            trace: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c,
            span: 0xb7ad_6b71_6920_3331,
            is_sampled: true,
        };
        assert_eq!(RemoteSpan::parse(good), Some(read));
        assert_eq!(RemoteSpan::parse(&format!("{}-more", good.replacen("00", "cc", 1))), Some(read), "a later version");
        for bad in [
            "",
            "00",
            &good.to_uppercase(),
            &format!("{good}-more"),
            &good.replacen("00", "ff", 1),
            &good.replace("b7ad6b7169203331", "0000000000000000"),
            &good.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &good.replace("-01", "-1"),
            &good.replace("-b7", "-+7"),
        ] {
            assert_eq!(RemoteSpan::parse(bad), None, "{bad}");
        }
    }
}
