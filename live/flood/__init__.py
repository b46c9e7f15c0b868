"""A crowd of bots for `frontrow flood`, driven by the very module that browsers run (static/js/wire.js), in node."""
