"""Where features go: into placeholders of a row, and into places of a padded batch."""

from torch import Tensor


def fill_placeholders(embeds: Tensor, input_ids: Tensor, token_id: int, features: Tensor) -> Tensor:
    """`embeds` with `features` written where `input_ids` holds `token_id`, in reading order.

    Args:
      embeds: float[B, T, D].  input_ids: int64[B, T].
      features: float[N, L, D]; the batch holds N * L placeholders in all.

    Raises:
      ValueError: the batch holds another number of placeholders.
    """
    places = input_ids == token_id
    wanted, given = int(places.sum()), features.shape[0] * features.shape[1]
    if wanted != given:
        raise ValueError(f"{wanted} placeholders with token id {token_id}, but features for {given}")
    return embeds.masked_scatter(places[..., None], features.to(embeds.dtype))


def spread(values: Tensor, places: Tensor) -> Tensor:
    """float[B, N, ...] with `values` float[S, ...] where `places` bool[B, N] is True, and zeros elsewhere."""
    return values.new_zeros(*places.shape, *values.shape[1:]).index_put(tuple(places.nonzero().T), values)
