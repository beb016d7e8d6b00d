"""Settings of the report; cheap to import."""

from __future__ import annotations

from pydantic import Field

from trainer.frozen import Frozen


class ModelCardSettings(Frozen):
    """What people say about the model in the report's model card; the card's figures and limits are computed."""

    owner: str = Field("", description="who is responsible for the model")
    contact: str = Field("", description="where to ask about the model")
    licence: str = Field("", description="licence of the model")
    intended_use: str = Field(
        "Scoring card transactions as they come in, so that probable frauds are stopped, on data that has the columns "
        "and comes from the source that it was trained on.",
        description="what the model is for",
    )
    users: str = Field(
        "Fraud analysts, and the systems that ask the model about each transaction.", description="who uses the model"
    )
    out_of_scope: tuple[str, ...] = Field(
        (
            "Judging people, as for credit, insurance or employment: it judges single transactions.",
            "Transactions of other kinds, countries or currencies than those it was trained on.",
        ),
        description="what the model is not for",
    )
    caveats: tuple[str, ...] = Field((), description="what else a reader of the model card must know")
