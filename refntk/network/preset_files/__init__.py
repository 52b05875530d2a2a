"""Networks that come with refntk, as TOML files; see `refntk.network.preset`."""
