//! A configuration that can't be used is refused at start: exit code 2, and what is wrong where.

use std::fs;
use std::net::TcpListener;

use anyhow::Result;
use integration_tests::process::built_gateway;
use tempfile::tempdir;
use tokio::process::Command;

/// Starts the program with a configuration that must be refused, and gives out what it says.
async fn refused(yaml: &str, arguments: &[&str]) -> Result<String> {
    let folder = tempdir()?;
    fs::write(folder.path().join("bad.yml"), yaml)?;
    let mut command = Command::new(built_gateway().await?);
    command.args(arguments).current_dir(folder.path()).kill_on_drop(true);
    let output = command.output().await?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(2), "{said}");
    Ok(said)
}

fn names(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
}

const SERVE: [&str; 3] = ["serve", "--config", "bad.yml"];

#[tokio::test]
async fn an_unknown_key_is_named_with_file_and_line() -> Result<()> {
    let said = refused("websocket:\n  address: \"127.0.0.1:0\"\n  adress: 1\n", &SERVE).await?;
    names(&said, &["bad.yml:3", "adress"]);
    Ok(())
}

#[tokio::test]
async fn a_value_of_the_wrong_type_is_named_with_what_would_be_right() -> Result<()> {
    let said = refused("limits:\n  drain: soon\n", &["check-config", "bad.yml"]).await?;
    names(&said, &["bad.yml:2", "limits.drain", "5s"]);
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_key() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let yaml = format!("rtmp:\n  address: \"{}\"\nwebsocket:\n  address: \"127.0.0.1:0\"\n", taken.local_addr()?);
    let said = refused(&yaml, &SERVE).await?;
    names(&said, &["bad.yml:2", "rtmp.address", "in use"]);
    Ok(())
}

#[tokio::test]
async fn an_unreadable_certificate_is_named_with_its_key() -> Result<()> {
    let yaml = "rtmp:\n  address: \"127.0.0.1:0\"\nwebsocket:\n  address: \"127.0.0.1:0\"\n\
                tls:\n  certificate: none.pem\n  key: none.pem\n";
    let said = refused(yaml, &SERVE).await?;
    names(&said, &["bad.yml:6", "tls.certificate", "none.pem"]);
    Ok(())
}

#[tokio::test]
async fn an_authority_beside_certificate_files_is_refused_with_both_keys() -> Result<()> {
    let yaml = "# x\ntls:\n  certificate: c.pem\n  key: k.pem\n  acme:\n    domains: [live.example.org]\n";
    let said = refused(yaml, &["check-config", "bad.yml"]).await?;
    names(&said, &["bad.yml:3", "tls.certificate", "tls.acme", "set one of them"]);
    Ok(())
}

#[tokio::test]
async fn what_no_certificate_can_be_ordered_for_is_refused() -> Result<()> {
    let said = refused("tls:\n  acme:\n    domains: [\"*.example.org\"]\n", &["check-config", "bad.yml"]).await?;
    names(&said, &["bad.yml:2", "tls.acme.domains", "live.example.org"]);
    Ok(())
}

#[tokio::test]
async fn a_setting_on_the_command_line_is_named_as_it_was_given() -> Result<()> {
    let said = refused("", &["serve", "--set", "rtmp.address=nowhere"]).await?;
    names(&said, &["--set rtmp.address=nowhere", "rtmp.address"]);
    Ok(())
}

#[test]
fn every_example_can_be_used() -> Result<()> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/examples");
    let mut count = 0;
    for example in fs::read_dir(folder)? {
        let path = example?.path();
        if path.extension().is_some_and(|extension| extension == "yml") {
            headwater::config::load(Some(&path), &[])?;
            count += 1;
        }
    }
    assert!(count >= 4, "{count} examples");
    Ok(())
}
