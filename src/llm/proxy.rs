//! The proxies from the environment: which one a request uses, and how messages refer to it.
//!
//! `http` creates its client with them. Requests to this machine bypass them: no proxy elsewhere could reach a server
//! here, yet people set these variables for all programs.

use reqwest::{ClientBuilder, NoProxy, Proxy, Url};

use super::connect::ConnectProblem;

/// Hosts that are always reached directly.
const THIS_MACHINE: &str = "localhost,127.0.0.0/8,::1";

/// The proxies of a process.
#[derive(Debug, Default)]
pub(super) struct Proxies {
    named: Vec<ProxyVariable>,
    /// The hosts to reach directly, from `NO_PROXY`.
    bypass: String,
}

/// A proxy from an environment variable.
#[derive(Debug)]
struct ProxyVariable {
    variable: &'static str,
    /// The URL scheme that it is for; `None` for all.
    scheme: Option<&'static str>,
    url: String,
}

impl Proxies {
    /// Reads the usual variables; lower case has precedence, as in curl.
    pub(super) fn from_environment(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let mut named = Vec::new();
        for (variables, scheme) in [
            (["http_proxy", "HTTP_PROXY"], Some("http")),
            (["https_proxy", "HTTPS_PROXY"], Some("https")),
            (["all_proxy", "ALL_PROXY"], None),
        ] {
            let found = variables.into_iter().find_map(|name| Some((name, lookup(name)?)));
            if let Some((variable, url)) = found.filter(|(_, url)| !url.trim().is_empty()) {
                named.push(ProxyVariable { variable, scheme, url: url.trim().to_owned() });
            }
        }
        let bypass = ["no_proxy", "NO_PROXY"].into_iter().find_map(lookup).unwrap_or_default();
        Self { named, bypass }
    }

    /// Configures a client with these proxies; without any, it uses the system's.
    pub(super) fn apply(&self, mut client: ClientBuilder) -> Result<ClientBuilder, ConnectProblem> {
        let bypass = format!("{},{THIS_MACHINE}", self.bypass);
        for named in &self.named {
            let made = match named.scheme {
                Some("http") => Proxy::http(&named.url),
                Some(_) => Proxy::https(&named.url),
                None => Proxy::all(&named.url),
            };
            let proxy = made.map_err(|_| ConnectProblem::Proxy { variable: named.variable })?;
            client = client.proxy(proxy.no_proxy(NoProxy::from_string(&bypass)));
        }
        Ok(client)
    }

    /// Describes the proxy that a request to `url` uses.
    pub(super) fn of(&self, url: &str) -> Option<String> {
        let url = Url::parse(url).ok()?;
        let named =
            self.named.iter().find(|named| named.scheme.is_none_or(|scheme| scheme == url.scheme()))?;
        if self.is_bypassed(&url) {
            return None;
        }
        Some(format!("the proxy `{}` of `{}`", without_password(&named.url), named.variable))
    }

    /// Whether requests to a host bypass the proxies, by host name or because it is this machine.
    fn is_bypassed(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let local = host == "localhost"
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        let names = self.bypass.split(',').map(|name| name.trim().trim_start_matches('.'));
        local
            || names.filter(|name| !name.is_empty()).any(|name| {
                name == "*" || host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
            })
    }
}

/// Returns a proxy's address without user information.
fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    format!("{scheme}://{}", rest.rsplit('@').next().unwrap_or_default().trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        Proxies::from_environment(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_proxy_of_a_request_is_named_by_its_variable() {
        let set = proxies(&[
            ("HTTPS_PROXY", "http://u:secret@p:3128/"),
            ("ALL_PROXY", "socks5h://s:1080"),
            ("NO_PROXY", "intern.example, .corp"),
        ]);
        let check = |url: &str, expected: Option<&str>| assert_eq!(set.of(url).as_deref(), expected, "{url}");
        check("https://api.example/v1", Some("the proxy `http://p:3128` of `HTTPS_PROXY`"));
        check("http://api.example/v1", Some("the proxy `socks5h://s:1080` of `ALL_PROXY`"));
        for bypass in [
            "http://127.0.0.1:1/v1",
            "http://localhost/v1",
            "http://[::1]:2/",
            "https://a.corp",
            "https://intern.example",
        ] {
            check(bypass, None);
        }
        assert!(set.apply(reqwest::Client::builder()).unwrap().build().is_ok());
        assert_eq!(proxies(&[]).of("http://h"), None);
        assert!(proxies(&[("http_proxy", "::no")]).apply(reqwest::Client::builder()).is_err());
    }
}
