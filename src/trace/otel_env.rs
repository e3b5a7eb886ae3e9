//! Collector and resource attributes of the spans, from the variables of OpenTelemetry.

use super::sampler::Sampler;
use opentelemetry::KeyValue;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::{
    Resource,
    resource::{EnvResourceDetector, TelemetryResourceDetector},
    trace::SpanExporter as _,
};

/// The collector configured in the environment.
#[derive(Debug)]
pub(super) struct Collector {
    pub(super) exporter: SpanExporter,
    pub(super) sampler: Sampler,
    /// Its address, without parts that may be secret.
    pub(super) address: String,
}

/// Reads the collector from the environment; `None` if traces are not configured.
///
/// # Errors
/// A message without the values of variables, which may be secret.
pub(super) fn named(role: &'static str) -> Result<Option<Collector>, String> {
    let is_off = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || variable("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
    let Some((name, endpoint)) = endpoint().filter(|_| !is_off) else { return Ok(None) };
    let address = shown(&endpoint).ok_or_else(|| format!("{name} is not an http:// or https:// address"))?;
    let sampler =
        Sampler::new(variable("OTEL_TRACES_SAMPLER").as_deref(), variable("OTEL_TRACES_SAMPLER_ARG").as_deref())?;
    if let Some(protocol) = protocol().filter(|protocol| protocol != "http/protobuf") {
        tracing::warn!(
            protocol,
            "OTEL_EXPORTER_OTLP_PROTOCOL is ignored: traces are sent as http/protobuf, for which collectors mostly use port 4318"
        );
    }
    let mut exporter = SpanExporter::builder().with_http().build().map_err(|error| error.to_string())?;
    exporter.set_resource(&resource(role));
    Ok(Some(Collector { exporter, sampler, address }))
}

/// Returns the attributes of all spans of this process. `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` take
/// precedence.
fn resource(role: &'static str) -> Resource {
    let ours = [
        KeyValue::new("service.name", format!("shuzhiren-{role}")),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()),
        KeyValue::new("shuzhiren.role", role),
    ];
    let resource = Resource::builder_empty()
        .with_attributes(ours)
        .with_detectors(&[Box::new(TelemetryResourceDetector), Box::new(EnvResourceDetector::new())]);
    match variable("OTEL_SERVICE_NAME") {
        Some(name) => resource.with_service_name(name).build(),
        None => resource.build(),
    }
}

fn endpoint() -> Option<(&'static str, String)> {
    ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]
        .into_iter()
        .find_map(|name| variable(name).map(|value| (name, value)))
}

fn protocol() -> Option<String> {
    variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| variable("OTEL_EXPORTER_OTLP_PROTOCOL"))
}

/// Reads a variable; an empty one counts as unset (OpenTelemetry's rule).
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn shown(endpoint: &str) -> Option<String> {
    let url = url::Url::parse(endpoint).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    Some(url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn the_logged_address_has_no_secret() {
        assert_eq!(shown("https://user:key@otlp.example/v1?token=x").as_deref(), Some("https://otlp.example"));
        assert_eq!(shown("http://127.0.0.1:4318").as_deref(), Some("http://127.0.0.1:4318"));
        assert_eq!((shown("127.0.0.1:4318"), shown("grpc://a:4317")), (None, None));
    }
}
