"""How `nbconvert --config` makes a page of a notebook: one that asks the network for no program."""

c = get_config()  # noqa: F821 - traitlets gives it

c.NbConvertApp.log_level = 30  # warnings
c.HTMLExporter.mathjax_url = ""
c.HTMLExporter.require_js_url = ""
c.ExecutePreprocessor.timeout = 600  # seconds for a cell
