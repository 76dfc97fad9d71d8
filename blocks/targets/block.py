"""A bucket as a Prefect block, so that its credentials can be kept and changed in the UI."""

from __future__ import annotations

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from blocks.targets.s3 import S3Target
from blocks.targets.settings import place_problems
from compose.stack.errors import Refused


class S3TargetBlock(Block):
    """A place in a bucket where backups are kept.

    Args:
        bucket: Its name.
        endpoint: URL of the server; empty for AWS itself.
        delete_access_key: Id of the key that deletes; empty when the same one does.
    """

    _block_type_name = "S3 backup target"
    _block_type_slug = "ops-s3-target"
    _description = "A bucket on AWS or any server that speaks S3, where backups are kept."

    bucket: str = Field(description="It has to be there already.")
    prefix: str = Field(default="", description="Path inside the bucket.")
    endpoint: str = Field(default="", description="URL of the server; empty for AWS itself.")
    region: str = Field(default="us-east-1")
    access_key: str = Field(title="Access key", description="Writes and reads.")
    secret_key: SecretStr = Field(title="Secret key")
    delete_access_key: str = Field(default="", description="Deletes, where the other one cannot.")
    delete_secret_key: SecretStr = Field(default=SecretStr(""))

    def target(self, name: str = "") -> S3Target:
        """The target; nothing connects yet.

        Args:
            name: What people call it; its address when empty.

        Raises:
            Refused: Its address is wrong.
        """
        prefix = self.prefix.strip("/")
        problems = place_problems(self.bucket, prefix, self.endpoint)
        if problems:
            raise Refused("; ".join(problems), where=f"s3://{self.bucket}/{prefix}", next="correct the block")
        return S3Target(
            self.bucket,
            prefix,
            endpoint=self.endpoint,
            region=self.region,
            access_key=self.access_key,
            secret_key=self.secret_key,
            delete_access_key=self.delete_access_key,
            delete_secret_key=self.delete_secret_key if self.delete_secret_key.get_secret_value() else None,
            name=name,
        )
